package transcript

// Kept is what a transcript has kept at one moment. It is read piece by piece, so
// that many who ask for a large one at the same time take no memory each. What the
// command drops before it is read is missing, and Truncated says so.
type Kept struct {
	t         *Transcript
	from, end uint64
	truncated bool
}

// Each hands what is kept of one stream to visit, in order and in pieces that are
// in buffer until visit returns. It ends with the first error of visit.
func (k *Kept) Each(stream Stream, buffer []byte, visit func([]byte) error) error {
	for position := k.from; position < k.end; {
		kind, count, at := k.copyFrom(position, buffer)
		if at > position {
			k.truncated = true
		}
		position = at + uint64(count)
		if kind != stream || count == 0 {
			continue
		}
		if err := visit(buffer[:count]); err != nil {
			return err
		}
	}
	return nil
}

// copyFrom copies bytes of one stream from a position, or from the oldest byte
// that is still there, and returns where they are.
func (k *Kept) copyFrom(position uint64, buffer []byte) (kind Stream, count int, at uint64) {
	k.t.mu.Lock()
	defer k.t.mu.Unlock()
	at = min(max(position, k.t.ring.offset), k.end)
	kind, count = k.t.ring.copyFrom(at, buffer[:min(uint64(len(buffer)), k.end-at)])
	return kind, count, at
}

// Truncated tells whether some of the output was not there, after it was read.
func (k *Kept) Truncated() bool { return k.truncated }
