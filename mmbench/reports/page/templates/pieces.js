// What a scene shows beyond its videos and columns: companions and curves of its clips, in pieces. A small page has them
// within; those of a large one lie beside it as scripts, each of which calls takePiece.
const addresses = readJson("addresses");
const pieces = new Map();
const waiting = new Map();

function takePiece(number, found) {
  pieces.set(number, found);
  for (const then of waiting.get(number) ?? []) then(found);
  waiting.delete(number);
}

// Calls `then` with the piece, at once where it is here; with null where it cannot be read.
function withPiece(number, then) {
  if (!addresses.length && !pieces.has(number)) pieces.set(number, readJson(`piece-${number}`));
  if (pieces.has(number)) { then(pieces.get(number)); return; }
  if (waiting.has(number)) { waiting.get(number).push(then); return; }
  waiting.set(number, [then]);
  const script = document.createElement("script");
  script.src = addresses[number];
  script.addEventListener("error", () => {
    for (const late of waiting.get(number) ?? []) late(null);
    waiting.delete(number); // and it is tried again when the scene is shown again
  });
  document.head.append(script);
}
