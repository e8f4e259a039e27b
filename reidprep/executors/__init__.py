"""Where the files of a directory are made: by this process and its workers, or by those of a Ray cluster."""
