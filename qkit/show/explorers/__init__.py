"""The explorers of the course. Each takes any array of its kind."""

from qkit.show.explorers.channels import channels
from qkit.show.explorers.images import images
from qkit.show.explorers.number_line import number_line
from qkit.show.explorers.tensor import tensor

__all__ = ["channels", "images", "number_line", "tensor"]
