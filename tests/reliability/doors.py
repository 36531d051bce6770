"""All doors; a subject of its own is a module with a list `DOORS`."""

from . import commands, readers, recipes

DOORS = [*commands.DOORS, *recipes.DOORS, *readers.DOORS]
