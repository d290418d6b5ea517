document.querySelectorAll("table.sortable").forEach(makeSortable);
document.querySelectorAll("button.unfold").forEach(makeFolding);
startClockControls();
startScenes();
keepSecond();
startClips();
startKeys();
loadState();
window.addEventListener("popstate", loadState);
