package transcript

import (
	"bytes"
	"math/rand"
	"testing"
)

// reference is the simplest possible ring: every byte with its stream.
type reference struct {
	streams []Stream
	bytes   []byte
}

func TestRingKeepsTheLastBytesInOrder(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for _, limit := range []int{1, 7, 100, 4096, 10_000} {
		total := &Budget{limit: 1 << 30}
		buffer := newRing(limit, total)
		var all reference
		for range 500 {
			kind := Stream(1 + random.Intn(2))
			data := make([]byte, random.Intn(limit+limit/4+1))
			random.Read(data)
			buffer.append(kind, data)
			all.bytes = append(all.bytes, data...)
			for range data {
				all.streams = append(all.streams, kind)
			}
			if random.Intn(20) == 0 {
				buffer.compact()
				if len(buffer.data) != buffer.used || total.used.Load() != int64(buffer.used) {
					t.Fatalf("limit %d: %d bytes taken for %d", limit, total.used.Load(), buffer.used)
				}
			}
			kept := buffer.used
			if kept > limit || kept < min(limit, len(all.bytes))-limit/4-16 {
				t.Fatalf("limit %d: %d bytes kept of %d", limit, kept, len(all.bytes))
			}
			if buffer.startOffset != uint64(len(all.bytes)-kept) || buffer.truncated != (len(all.bytes) > kept) {
				t.Fatalf("offset %d truncated %v, kept %d of %d", buffer.startOffset, buffer.truncated, kept, len(all.bytes))
			}
			offset := len(all.bytes) - kept
			for piece := make([]byte, 100); ; {
				kind, count := buffer.copyFrom(uint64(offset), piece)
				if count == 0 {
					break
				}
				if !bytes.Equal(piece[:count], all.bytes[offset:offset+count]) || kind != all.streams[offset] {
					t.Fatalf("limit %d: wrong bytes at %d", limit, offset)
				}
				offset += count
			}
			if offset != len(all.bytes) {
				t.Fatalf("visited up to %d of %d", offset, len(all.bytes))
			}
		}
		buffer.discard()
		buffer.append(Stdout, []byte("x"))
		if total.used.Load() != 0 || buffer.used != 0 {
			t.Errorf("a discarded ring holds %d bytes", total.used.Load())
		}
	}
}

func TestRingMemoryIsBoundedForTinyAlternatingOutput(t *testing.T) {
	buffer := newRing(64<<10, &Budget{limit: 1 << 30})
	for i := range 1 << 20 {
		buffer.append(Stream(1+i%2), []byte{byte(i)})
	}
	if len(buffer.segments) > 3*(64<<10)/4 || !buffer.truncated {
		t.Errorf("%d segments, %d bytes", len(buffer.segments), buffer.used)
	}
}

func TestRingStaysSmallWhenTheBudgetIsSpent(t *testing.T) {
	total := &Budget{limit: 100}
	buffer := newRing(1<<20, total)
	buffer.append(Stdout, make([]byte, 100_000))
	if len(buffer.data) != ringFirstSize || !total.Tight() {
		t.Errorf("%d bytes taken", len(buffer.data))
	}
	before := len(buffer.data)
	buffer.append(Stdout, make([]byte, 1<<20))
	if len(buffer.data) != before || !buffer.truncated {
		t.Errorf("grew from %d to %d beyond the budget", before, len(buffer.data))
	}
}
