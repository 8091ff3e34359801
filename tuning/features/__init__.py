"""The feature cache: what frozen layers compute, computed once and shared by all.

An entry holds the output of VGG16 at one frontier for all pictures of one split, under one view.
Its key says everything it depends on, so an entry is never changed, only added. Readers map the
file and hold no copy; who needs an entry that is not there builds it, for everybody.
"""

from tuning.features.cache import FeatureCache
from tuning.features.entry import PLAIN, Backbone, View

__all__ = ["PLAIN", "Backbone", "FeatureCache", "View"]
