package transcript

// Kept is what a transcript keeps at one moment. It is read piece by piece, so
// that many callers who read a large one at the same time need little memory.
// Output that is dropped before it is read is missing, and Truncated reports that.
type Kept struct {
	t         *Transcript
	from, end uint64
	truncated bool
}

// Each calls visit with what is kept of one stream, in order and in pieces, which
// are valid until visit returns. It ends with the first error of visit.
func (k *Kept) Each(stream Stream, buffer []byte, visit func([]byte) error) error {
	for offset := k.from; offset < k.end; {
		kind, count, at := k.copyFrom(offset, buffer)
		if at > offset {
			k.truncated = true
		}
		offset = at + uint64(count)
		if kind != stream || count == 0 {
			continue
		}
		if err := visit(buffer[:count]); err != nil {
			return err
		}
	}
	return nil
}

// copyFrom copies bytes of one stream from an offset, or from the oldest byte that
// is still there, and returns their offset.
func (k *Kept) copyFrom(offset uint64, buffer []byte) (kind Stream, count int, at uint64) {
	k.t.mu.Lock()
	defer k.t.mu.Unlock()
	at = min(max(offset, k.t.ring.startOffset), k.end)
	kind, count = k.t.ring.copyFrom(at, buffer[:min(uint64(len(buffer)), k.end-at)])
	return kind, count, at
}

// Truncated reports, after reading, whether some of the output was missing.
func (k *Kept) Truncated() bool { return k.truncated }
