"""Configurations of Agola, read from `.agola/` as Agola reads them (run-config.md, "Agola's files").

`reading` reads the text, with the rules of `yaml_1_1`, and `adapting` changes the document into one of the strict
model: each thing that it leaves out or chooses is a warning. Everything behind it is the same as for `.sluice/`. Pure.
"""
