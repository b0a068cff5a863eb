"""What a checkpoint stores: data files, index dumps and manifests."""
