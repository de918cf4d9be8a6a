"""Files that the tests skip: the scripts of the gallery run when the pages are built."""

collect_ignore_glob = ["gallery/*", "gallery_scripts/*", "_build/*", "_ext/*", "reference/api/*"]
