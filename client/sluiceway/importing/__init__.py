"""Configurations of other CI systems, converted to jsonnet of Sluiceway: `sluice config import`.

`importers.convert` is the door. `yaml_values` reads a file; `github`, `gitlab` and `woodpecker` make a document of it,
with a note at each thing that has no counterpart; `document` has what they share; `jsonnet_text` writes the document.
Pure: nothing here reads files or the network.
"""
