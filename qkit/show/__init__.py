"""What a learner sees and touches: pictures, explorers, exercises. Draws plain arrays; never loads TensorFlow."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["explorers", "figures"],
    submod_attrs={
        "advice": ["advise"],
        "environment": ["check_environment"],
        "exercises": ["check", "reveal"],
        "picture": ["Picture"],
        "self_test": ["SelfTest"],
    },
)
