package transport

// clientPreface is what every HTTP/2 client sends first.
const clientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

const frameHeaderSize = 9

// frameTracker tracks the frame boundaries in a client's bytes, so that a second
// client preface between frames is recognised. No frame can look like one: as a
// frame header, "PRI" is a length of 5 MB, far beyond the frame size that the
// agent allows.
type frameTracker struct {
	prefaceRead int // bytes of the connection's own preface passed so far
	header      [frameHeaderSize]byte
	headerRead  int
	payload     int // bytes of the current frame's payload still to come
}

func (t *frameTracker) inPayload() bool  { return t.payload > 0 }
func (t *frameTracker) payloadLeft() int { return t.payload }
func (t *frameTracker) skip(count int)   { t.payload -= count }

// scan advances over data and returns how many of its bytes belong to this
// connection, and whether a new preface follows them.
func (t *frameTracker) scan(data []byte) (usable int, newPreface bool) {
	if t.prefaceRead < len(clientPreface) {
		usable = min(len(data), len(clientPreface)-t.prefaceRead)
		t.prefaceRead += usable
	}
	for usable < len(data) {
		if t.payload > 0 {
			step := min(t.payload, len(data)-usable)
			t.payload -= step
			usable += step
			continue
		}
		if t.headerRead == 0 && data[usable] == clientPreface[0] {
			return usable, true
		}
		step := copy(t.header[t.headerRead:], data[usable:])
		t.headerRead += step
		usable += step
		if t.headerRead == frameHeaderSize {
			t.payload = int(t.header[0])<<16 | int(t.header[1])<<8 | int(t.header[2])
			t.headerRead = 0
		}
	}
	return usable, false
}
