"""Physical checks of a force field: what is measured, and what it says about the use of a student.

``base`` says what a check is, and ``checks`` runs all of them, each of which stands in the module of its theme.
``verdict`` judges what they found, and ``standing`` says what of that holds. The teacher's ``reference`` is made by
``labelling``, or by ``own_structures`` for structures of one's own. ``material`` and ``transport`` measure what nobody
judges: the properties of a material.

Only what any model must pass enters here, each with a number, and what the teacher says of the same.
"""
