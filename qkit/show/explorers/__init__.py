"""The explorers of the course. Each takes any array of its kind."""

from qkit.show.explorers.answers import answers as answers
from qkit.show.explorers.channels import channels as channels
from qkit.show.explorers.codes import codes as codes
from qkit.show.explorers.comparison import comparison as comparison
from qkit.show.explorers.doctor import doctor as doctor
from qkit.show.explorers.fake_quantization import fake_quantization as fake_quantization
from qkit.show.explorers.float_format import float_format as float_format
from qkit.show.explorers.formats import formats as formats
from qkit.show.explorers.images import images as images
from qkit.show.explorers.journey import journey as journey
from qkit.show.explorers.network import network as network
from qkit.show.explorers.number_line import number_line as number_line
from qkit.show.explorers.tensor import tensor as tensor
from qkit.show.explorers.threshold import threshold as threshold
from qkit.show.explorers.two_accuracies import two_accuracies as two_accuracies

__all__ = sorted(name for name, made in globals().items() if hasattr(made, "__wrapped__"))
