#!/bin/sh
# Packs the sources into an archive that is named by the commit, and shows what is in it.
set -eu
version=$1
mkdir -p build
tar -cf "build/wordcount-$version.tar" wordcount
tar -tf "build/wordcount-$version.tar"
