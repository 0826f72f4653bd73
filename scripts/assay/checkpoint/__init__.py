"""Checkpoints as users have them, and the one form that the rest of Assay works with.

``container`` reads a file without trusting it: ``pickles`` reads a pickle as data and runs nothing, and ``contents``,
``tensors``, ``arrays`` and ``modules`` make dicts and tensors of that. ``exported`` and ``programs`` say what a file is
that holds no student. ``weights`` finds the models in it, ``choice`` chooses one, and ``architecture`` says which
network its tensors belong to, or ``schnetpack`` with ``schnetpack_parts`` where that is one of schnetpack.

``sections`` finds what stands beside the weights. Of that ``config`` and ``texts`` read hyperparameters, ``elements``
and ``scope`` what the student was taught; ``stated_units``, ``stated_sums`` and ``stated_statistics`` refuse what the
network would not do. ``normalized`` asks all of them, and writes and loads the result.

Only what reads files that nobody vouches for enters here; the networks themselves belong to models.
"""

from __future__ import annotations

from assay.checkpoint.normalized import Checkpoint, load_model, normalize, write

__all__ = ["Checkpoint", "load_model", "normalize", "write"]
