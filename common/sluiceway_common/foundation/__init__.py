"""What every package uses: errors, clocks, settings, logging, lifecycle, rpc."""
