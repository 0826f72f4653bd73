"""Checkpoints as users have them, and the one form that the rest of Assay works with.

``container`` reads a file without trusting it: ``pickles`` reads a pickle as data and runs nothing, ``contents`` and
``tensors`` make dicts and tensors of that. ``weights`` finds the models in them, ``choice`` chooses one,
``architecture`` says which network its tensors belong to, ``normalized`` writes and loads the result.

Only what reads files that nobody vouches for enters here; the networks themselves belong to models.
"""

from __future__ import annotations

from assay.checkpoint.normalized import Checkpoint, load_model, normalize, write

__all__ = ["Checkpoint", "load_model", "normalize", "write"]
