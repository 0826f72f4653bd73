"""What the config may hold, by file: types, bounds and descriptions; the values stand in the YAML files alone.

A description completes the sentence that reports a bad value, and is what editors show. A section is also the settings
of its code, which imports the module of its file; ``whole`` puts all sections together.
"""
