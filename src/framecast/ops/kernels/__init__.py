"""Fast forward and backward passes of the recurrences, behind `framecast.ops.scan`."""
