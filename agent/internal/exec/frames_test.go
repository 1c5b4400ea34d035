package exec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

func TestReadFrame(t *testing.T) {
	largest := append([]byte{frameInput, 0, 1, 0, 0}, make([]byte, maxFrame)...)
	for name, want := range map[string]struct {
		data  []byte
		count int
		err   error
	}{
		"nothing":                 {nil, 0, io.EOF},
		"an empty frame":          {[]byte{frameInput, 0, 0, 0, 0}, 0, nil},
		"bytes":                   {[]byte{frameInput, 0, 0, 0, 2, 'a', 'b', 'c'}, 2, nil},
		"a type of the future":    {[]byte{200, 0, 0, 0, 1, 'a'}, 1, nil},
		"the largest":             {largest, maxFrame, nil},
		"one byte too many":       {[]byte{frameInput, 0, 1, 0, 1}, 0, errFrameTooLarge},
		"a length of 4 GiB":       {[]byte{200, 255, 255, 255, 255}, 0, errFrameTooLarge},
		"a cut off header":        {[]byte{frameInput, 0, 0}, 0, io.ErrUnexpectedEOF},
		"a cut off payload":       {[]byte{frameInput, 0, 0, 0, 2, 'a'}, 0, io.ErrUnexpectedEOF},
		"a header without a body": {[]byte{frameInput, 0, 0, 0, 2}, 0, io.ErrUnexpectedEOF},
	} {
		kind, payload, err := readFrame(bytes.NewReader(want.data))
		if !errors.Is(err, want.err) || len(payload) != want.count {
			t.Errorf("%s: %d bytes, %v; want %d, %v", name, len(payload), err, want.count, want.err)
		}
		if err == nil && kind != want.data[0] {
			t.Errorf("%s: type %d, want %d", name, kind, want.data[0])
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{frameInput, 0, 0, 0, 1, 'a', frameInputEnd, 0, 0, 0, 0})
	f.Add([]byte{frameTaken, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 9})
	f.Add([]byte{9, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, data []byte) {
		from := bytes.NewReader(data)
		var again []byte
		for {
			kind, payload, err := readFrame(from)
			if err != nil {
				break
			}
			again = append(again, kind)
			again = binary.BigEndian.AppendUint32(again, uint32(len(payload)))
			again = append(again, payload...)
		}
		if !bytes.HasPrefix(data, again) {
			t.Fatalf("read %x from %x", again, data)
		}
	})
}
