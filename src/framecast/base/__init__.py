"""What everything stands on: errors, configurations, the registry, whole files, downloads."""
