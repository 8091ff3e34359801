"""The feature cache: what frozen layers compute, computed once and shared by all.

An entry holds the output of a backbone at one frontier, under one view, of all pictures that
anybody ever needed it of. Its key says everything that a picture's features depend on but the
picture, which the hash of its file's bytes stands for: pictures that come later, go, move to
another split or get another label leave the others' features as they are. Readers map the files
and hold no copy; who needs features that are not there computes them, for everybody.
"""

from tuning.features.cache import FeatureCache
from tuning.features.entry import PLAIN, View

__all__ = ["PLAIN", "FeatureCache", "View"]
