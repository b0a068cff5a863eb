"""What every part stands on: errors, clocks, settings, logging, lifecycle, rpc."""
