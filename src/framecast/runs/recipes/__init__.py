"""Recipes: the configurations that are shipped with the package, in the YAML files here.

Those of the published networks keep the keys of training that the papers state; those named
small, reduced or demo are sized for a computer without a GPU. docs/results.md says which of them
have been run, and what they reached.
"""

from framecast.base.recipes import find_recipe, recipes

__all__ = ["find_recipe", "recipes"]
