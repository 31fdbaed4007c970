"""Words every explorer shares."""

PROBLEM = "This setting cannot be drawn: {error}. The picture still shows the setting before it."
HINT = "(An explorer: run this notebook in JupyterLab and move {names}.)"
