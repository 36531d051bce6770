"""All doors; a subject of its own is a module with a list `DOORS`."""

from . import commands, recipes

DOORS = [*commands.DOORS, *recipes.DOORS]
