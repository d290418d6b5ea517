"""Synthetic people with known ground truth, rendered on the CPU.

Read in this order: `kit` (the morphable head) -> `identity`, `sampling`, `looks` (who) -> `person` (built once) ->
`expression`, `motion` (what they do) -> `scene`, `views` (light, clothes, backdrop, camera) -> `stage`, `materials`,
`shade`, `picture` (pixels) -> `truth` (what is known) -> `clip`, `batch`, `control` (clips).

    kit = load_kit()
    anna = build_person(kit, sample_identity(kit, "woman", 3))
    for frame in render_clip(anna, Scene(), trajectory("look", 24), truth=True):
        frame.image, frame.truth.landmarks, frame.truth.flow
"""
