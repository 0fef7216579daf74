"""framecast: forecast the next frames of anything that comes as a sequence of grids."""
