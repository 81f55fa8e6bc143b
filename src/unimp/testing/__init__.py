"""For tests, ours and those of other packages: a toy world, and the contract of every extension point.

A test file inherits a contract: `class TestEASE(RankerContract): method = "ease"; floor = 0.3`.
"""

from unimp.testing.encoders import TextEncoderContract, VisionEncoderContract
from unimp.testing.rankers import RankerContract
from unimp.testing.sources import SourceContract
from unimp.testing.tasks import TaskContract
from unimp.testing.world import ToyFeatures, ToyWorld, the_world, toy_catalog, toy_world

__all__ = [
    "RankerContract",
    "SourceContract",
    "TaskContract",
    "TextEncoderContract",
    "ToyFeatures",
    "ToyWorld",
    "VisionEncoderContract",
    "the_world",
    "toy_catalog",
    "toy_world",
]
