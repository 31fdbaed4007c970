"""How `python tools/start.py book` renders the notebooks, as they are stored, to pages that need no kernel."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

c = get_config()  # noqa: F821 nbconvert gives it
c.NbConvertApp.notebooks = [str(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
c.NbConvertApp.export_format = "html"
c.FilesWriter.build_directory = str(ROOT / "book")
c.TemplateExporter.extra_template_basedirs = [str(ROOT / "tools")]
c.TemplateExporter.template_name = "book"
c.TemplateExporter.exclude_input_prompt = True
c.TemplateExporter.exclude_output_prompt = True
