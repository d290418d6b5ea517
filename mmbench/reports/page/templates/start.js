document.querySelectorAll("table.sortable").forEach(makeSortable);
startClips();
startScenes();
