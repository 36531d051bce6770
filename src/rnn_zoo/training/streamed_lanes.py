"""Lanes that read documents as they come: their batches, and in each checkpoint the place of each reader."""

from pathlib import Path

from accelerate.utils import gather_object
from torch.utils.data import DataLoader

from ..checkpoint_files import json_text, read_json
from ..data.document_stream import DocumentStream, LaneBatches, LaneReader
from ..errors import UserError
from ..folders import write_whole
from .lanes import LaneLayout
from .parts import Part

READERS_FILE = "lane_readers.json"


class StreamedLanes(Part):
    """The readers of a process's lanes. A checkpoint has the place of each by its global lane, so that a run goes on
    exactly, also where the lanes are shared in another way.

    Args:
        stream: what they read.
        chunk_length: steps of a chunk.
    """

    def __init__(self, stream: DocumentStream, chunk_length: int):
        self.stream = stream
        self.chunk_length = chunk_length

    def loader(self, layout: LaneLayout) -> DataLoader:
        """New readers, and their batches.

        Raises:
            UserError: for workers, which would read ahead of what is trained; or if there are fewer files than lanes.
        """
        args = self.trainer.args
        if args.dataloader_num_workers:
            raise UserError(
                f"dataloader_num_workers={args.dataloader_num_workers}: a stream of documents is read by the process "
                "that trains; it must be 0"
            )
        self.lanes = layout.lanes
        own = [
            layout.lanes_of(micro_batch, args.process_index) for micro_batch in range(args.gradient_accumulation_steps)
        ]
        self.readers = {
            lane: LaneReader(self.stream, lane, layout.lanes, self.chunk_length) for lanes in own for lane in lanes
        }
        self.batches = LaneBatches([[self.readers[lane] for lane in lanes] for lanes in own])
        return DataLoader(self.batches, batch_size=None)

    def save(self, folder: Path) -> None:
        places = gather_object([(lane, reader.state()) for lane, reader in self.readers.items()])
        if self.trainer.args.should_save:
            folder.mkdir(parents=True, exist_ok=True)
            found = {"lanes": self.lanes, "places": {str(lane): place for lane, place in sorted(places)}}
            write_whole(folder / READERS_FILE, json_text(found) + "\n")

    def load(self, folder: Path) -> None:
        path = folder / READERS_FILE
        if not path.is_file():
            raise UserError(f"{folder} holds no {READERS_FILE}: it was not trained with streaming, resume without")
        found = read_json(path)
        if found["lanes"] != self.lanes:
            raise UserError(
                f"this run has {self.lanes} lanes, but {folder} was trained with {found['lanes']}: resume with as many"
            )
        for lane, reader in self.readers.items():
            reader.load(found["places"][str(lane)])
