package exec

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"opencomputer.dev/agent/internal/transcript"
)

// Batches contain whole frames, never outgrow their buffer, and together have the
// content of the ring, with the gap before it.
func TestBatchesAreTheOutputInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	for name, largest := range map[string]int{"single bytes": 1, "lines": 200, "blocks": 150_000} {
		total := min(3<<20, largest*20_000)
		printed := transcript.New(1<<20, transcript.NewBudget(1<<30), 0)
		var want bytes.Buffer
		for want.Len() < total {
			kind := transcript.Stream(1 + random.IntN(2))
			piece := make([]byte, 1+random.IntN(largest))
			for i := range piece {
				piece[i] = byte(random.Uint32())
			}
			want.Write(piece)
			printed.Add(kind, piece)
		}
		reader, _ := printed.Attach(0, false, false)
		s := &sender{
			attachment: &attachment{output: printed, exitCode: func() int { return 0 }, reader: reader, replayed: printed.End()},
			replaying:  true,
		}
		printed.Finish()

		var got bytes.Buffer
		gap, replayed, exits, batches := uint64(0), 0, 0, 0
		buffer := new([batchSize]byte)
		for state := sendMore; state != sendOver; batches++ {
			var batch []byte
			if batch, state = s.collect(buffer[:0]); len(batch) == 0 || &batch[0] != &buffer[0] {
				t.Fatalf("%s: a batch of %d bytes, in another buffer", name, len(batch))
			}
			if state == sendIdle {
				t.Fatalf("%s: idle before the end", name)
			}
			for frames := bytes.NewReader(batch); frames.Len() > 0; {
				kind, payload, err := readFrame(frames)
				if err != nil || exits > 0 {
					t.Fatalf("%s: after %d bytes and %d exits: %v", name, got.Len(), exits, err)
				}
				switch kind {
				case byte(transcript.Stdout), byte(transcript.Stderr):
					got.Write(payload)
				case frameGap:
					gap += binary.BigEndian.Uint64(payload)
				case frameReplayed:
					replayed++
				case frameExit:
					exits++
				}
			}
		}
		if rest := want.Bytes()[gap:]; !bytes.Equal(got.Bytes(), rest) || replayed != 1 || exits != 1 {
			t.Errorf("%s: %d bytes after a gap of %d of %d, %d ends of replay, %d exits", name, got.Len(), gap, total, replayed, exits)
		}
		if largest > 1 && (gap == 0 || batches > 1<<20/(batchSize-maxFrame)+2) {
			t.Errorf("%s: a gap of %d, %d batches for 1 MiB", name, gap, batches)
		}
	}
}
