"""Puts the parts together: the only file that names concrete classes.

From what a user chose (`Options`) to the stages that the pipeline and the engine run.
"""

from __future__ import annotations

from manyfaces.detect.haar import HaarCascade
from manyfaces.detect.yunet import Wanted, YuNet
from manyfaces.errors import WeightsError
from manyfaces.heads.emotion import EmotionHead
from manyfaces.heads.identity import IdentityHead
from manyfaces.options import Options
from manyfaces.pipeline import Stages
from manyfaces.runtime import Library, Network, Precision, Runtime, load_network
from manyfaces.stages import Detector, Identifier
from manyfaces.types import Identities
from manyfaces.weights import Weights, load
