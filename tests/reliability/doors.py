"""All doors; a subject of its own is a module with a list `DOORS`."""

from . import checkpoints, commands, imports, readers, recipes

DOORS = [*readers.DOORS, *commands.DOORS, *recipes.DOORS, *checkpoints.DOORS, *imports.DOORS]
