package transcript

import "slices"

// Stream is the output stream of a command, in the numbers of the protocol.
type Stream byte

const (
	Stdout Stream = 1
	Stderr Stream = 2
)

const ringFirstSize = 4 << 10

// segment is a run of bytes of one stream: the offset of its end, and two bits for
// the stream. Offsets count everything that a command has ever written.
type segment uint64

func newSegment(kind Stream, end uint64) segment { return segment(end<<2) | segment(kind) }
func (s segment) stream() Stream                 { return Stream(s & 3) }
func (s segment) end() uint64                    { return uint64(s >> 2) }

// ring keeps the newest output of a command, both streams in order of arrival, in
// at most limit bytes. It takes memory as output comes.
type ring struct {
	data        []byte
	start       int // index in data of the oldest byte
	used        int
	segments    []segment
	oldest      int    // index in segments of the first one kept
	startOffset uint64 // offset of the oldest byte
	limit       int
	budget      *Budget
	truncated   bool
}

func newRing(limit int, budget *Budget) *ring { return &ring{limit: limit, budget: budget} }

// end is the offset after the newest byte.
func (r *ring) end() uint64 { return r.startOffset + uint64(r.used) }

// append adds bytes of one stream; the oldest bytes are dropped to make room.
func (r *ring) append(kind Stream, data []byte) {
	if len(data) == 0 || r.limit == 0 {
		return
	}
	size := r.reserve(len(data))
	if excess := len(data) - size; excess > 0 {
		r.drop(r.used)
		r.startOffset += uint64(excess)
		r.truncated = true
		data = data[excess:]
	}
	r.drop(r.used + len(data) - size)
	end := (r.start + r.used) % size
	copied := copy(r.data[end:], data)
	copy(r.data, data[copied:])
	r.used += len(data)
	r.record(kind)
}

// record stores to which stream the newest bytes belong.
func (r *ring) record(kind Stream) {
	newest := newSegment(kind, r.end())
	if last := len(r.segments) - 1; last >= r.oldest && r.segments[last].stream() == kind {
		r.segments[last] = newest
		return
	}
	// The list of segments may take as much memory as the bytes, not more.
	if len(r.segments)-r.oldest >= max(r.limit/8, 16) {
		r.drop(int(r.segments[r.oldest].end() - r.startOffset))
	}
	if r.oldest > 64 && r.oldest > len(r.segments)/2 {
		r.segments = r.segments[:copy(r.segments, r.segments[r.oldest:])]
		r.oldest = 0
	}
	r.segments = append(r.segments, newest)
}

// drop removes the oldest count bytes.
func (r *ring) drop(count int) {
	if count <= 0 {
		return
	}
	r.truncated = true
	r.startOffset += uint64(count)
	r.start = (r.start + count) % len(r.data)
	r.used -= count
	for r.oldest < len(r.segments) && r.segments[r.oldest].end() <= r.startOffset {
		r.oldest++
	}
}

// reserve makes room for more bytes as far as limit and budget allow, and returns
// the size of the ring then.
func (r *ring) reserve(more int) int {
	if r.data == nil {
		r.data = make([]byte, min(ringFirstSize, r.limit))
		r.budget.take(len(r.data), true)
	}
	size, wanted := len(r.data), r.used+more
	if size >= wanted || size >= r.limit {
		return size
	}
	next := size
	for next < wanted && next < r.limit {
		next *= 2
	}
	next = min(next, r.limit)
	if !r.budget.take(next-size, false) {
		return size
	}
	larger := make([]byte, next)
	copied := copy(larger, r.data[r.start:min(r.start+r.used, size)])
	copy(larger[copied:r.used], r.data)
	r.data, r.start = larger, 0
	return next
}

// copyFrom copies bytes of one stream from an offset that is kept. It returns 0 at
// the end.
func (r *ring) copyFrom(offset uint64, into []byte) (kind Stream, count int) {
	if offset >= r.end() {
		return 0, 0
	}
	kept := r.segments[r.oldest:]
	index, _ := slices.BinarySearchFunc(kept, offset, func(s segment, at uint64) int {
		if s.end() <= at {
			return -1
		}
		return 1
	})
	into = into[:min(uint64(len(into)), kept[index].end()-offset)]
	from := (r.start + int(offset-r.startOffset)) % len(r.data)
	copied := copy(into, r.data[from:])
	copy(into[copied:], r.data)
	return kept[index].stream(), len(into)
}

// compact frees memory that the bytes do not need.
func (r *ring) compact() {
	if r.used == len(r.data) {
		return
	}
	exact := make([]byte, r.used)
	copied := copy(exact, r.data[r.start:min(r.start+r.used, len(r.data))])
	copy(exact[copied:], r.data)
	r.budget.give(len(r.data) - r.used)
	r.data, r.start = exact, 0
	if r.used == 0 {
		r.data = nil
	}
	r.segments = slices.Clone(r.segments[r.oldest:])
	r.oldest = 0
}

// discard frees the ring; later output is dropped.
func (r *ring) discard() {
	r.budget.give(len(r.data))
	*r = ring{budget: r.budget, startOffset: r.end(), truncated: r.truncated || r.used > 0}
}
