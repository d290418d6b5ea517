"""Files and folders of remote storage, used as files and folders of this machine."""
