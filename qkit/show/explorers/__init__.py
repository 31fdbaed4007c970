"""The explorers of the course. Each takes any array of its kind."""

from qkit.show.explorers.answers import answers
from qkit.show.explorers.channels import channels
from qkit.show.explorers.codes import codes
from qkit.show.explorers.comparison import comparison
from qkit.show.explorers.doctor import doctor
from qkit.show.explorers.fake_quantization import fake_quantization
from qkit.show.explorers.float_format import float_format
from qkit.show.explorers.formats import formats
from qkit.show.explorers.images import images
from qkit.show.explorers.journey import journey
from qkit.show.explorers.network import network
from qkit.show.explorers.number_line import number_line
from qkit.show.explorers.tensor import tensor
from qkit.show.explorers.threshold import threshold
from qkit.show.explorers.two_accuracies import two_accuracies

__all__ = [
    "answers",
    "channels",
    "codes",
    "comparison",
    "doctor",
    "fake_quantization",
    "float_format",
    "formats",
    "images",
    "journey",
    "network",
    "number_line",
    "tensor",
    "threshold",
    "two_accuracies",
]
