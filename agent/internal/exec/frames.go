package exec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Frames of an attached stream: type, length, payload.
const (
	frameInput    = 0 // to the command
	frameExit     = 3 // from it; 1 and 2 are its streams
	frameInputEnd = 4 // to the command
	frameReplayed = 4 // from it: offset where the replay ended
	frameGap      = 5 // bytes lost
	frameAccepted = 6 // input accepted so far
	frameOffset   = 7 // offset of the output that comes next
	frameTaken    = 8 // to the agent: offset up to which the host has the output

	frameHeader = 5
	maxFrame    = 64 << 10
)

var errFrameTooLarge = errors.New("frame too large")

// appendNumberFrame appends a frame with a number of 8 bytes.
func appendNumberFrame(out []byte, kind byte, number uint64) []byte {
	out = append(out, kind, 0, 0, 0, 8)
	return binary.BigEndian.AppendUint64(out, number)
}

func appendExitFrame(out []byte, code int) []byte {
	out = append(out, frameExit, 0, 0, 0, 4)
	return binary.BigEndian.AppendUint32(out, uint32(int32(code)))
}

// putHeader writes the header of a frame whose payload follows it.
func putHeader(into []byte, kind byte, length int) {
	into[0] = kind
	binary.BigEndian.PutUint32(into[1:], uint32(length))
}

// readFrame reads one frame from the host. Its payload is a slice of its own.
// The end of the stream between frames is io.EOF.
func readFrame(from io.Reader) (kind byte, payload []byte, err error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(from, header[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(header[1:])
	if length > maxFrame {
		return 0, nil, fmt.Errorf("%w: %d bytes, more than %d", errFrameTooLarge, length, maxFrame)
	}
	payload = make([]byte, length)
	if _, err := io.ReadFull(from, payload); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return header[0], payload, nil
}
