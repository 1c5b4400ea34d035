package exec

import (
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"

	"opencomputer.dev/agent/internal/gate"
	"opencomputer.dev/agent/internal/session"
	"opencomputer.dev/agent/internal/transcript"
	"opencomputer.dev/agent/internal/wire"
)

const maxClientLength = 64

// attachment is one host stream that reads and writes a session.
type attachment struct {
	id       string // of the session
	output   *transcript.Transcript
	exitCode func() int
	reader   *transcript.Reader
	writer   *session.Writer // nil without input
	accepted atomic.Uint64   // bytes of this client's input
	gone     <-chan struct{} // closed when the stream has ended, or must
	broken   chan struct{}   // closed when the host sends something that is not a frame
	replayed uint64          // where the replay ends
}

func errOffset(format string, values ...any) error {
	return wire.Refuse(http.StatusBadRequest, "invalid_offset", format, values...)
}

// attachOptions are the offset where a stream begins, its client, and whether the
// host acknowledges output.
type attachOptions struct {
	from    uint64
	fromEnd bool
	client  string
	acks    bool
}

func attachQuery(r *http.Request) (options attachOptions, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return options, wire.Invalid("bad query: %v", err)
	}
	options.acks = query.Get("acks") == "true"
	switch text := query.Get("from"); text {
	case "":
	case "end":
		options.fromEnd = true
	default:
		if options.from, err = strconv.ParseUint(text, 10, 64); err != nil {
			return options, errOffset("from must be an offset or \"end\"")
		}
	}
	options.client = query.Get("client")
	if len(options.client) > maxClientLength {
		return options, wire.Invalid("client may have at most %d characters", maxClientLength)
	}
	for _, char := range []byte(options.client) {
		if !isClientChar(char) {
			return options, wire.Invalid("client may have letters, digits, - and _ only")
		}
	}
	return options, nil
}

func isClientChar(char byte) bool {
	return char >= 'a' && char <= 'z' || char >= 'A' && char <= 'Z' || char >= '0' && char <= '9' || char == '-' || char == '_'
}

// Attach streams a command's output from an offset on, and passes input to it. The
// command goes on when the stream ends.
func (c *Calls) Attach(w http.ResponseWriter, r *http.Request, call *gate.Call, id string) error {
	options, err := attachQuery(r)
	if err != nil {
		return err
	}
	found, err := c.Sessions.Find(id)
	if err != nil {
		return err
	}
	reader, ok := found.Attach(options.from, options.fromEnd, options.acks)
	if !ok {
		return errOffset("from is %d, beyond the %d bytes that the command has printed", options.from, found.Transcript.End())
	}
	defer found.Leave(reader)

	gone := make(chan struct{})
	over, broken := make(chan struct{}), make(chan struct{})
	defer close(over)
	quiesced := call.Quiescing()
	go func() {
		defer close(gone)
		select {
		case <-r.Context().Done():
		case <-quiesced:
		case <-broken:
		case <-over:
		}
	}()
	// A quiesce does not wait for streams: they end by themselves.
	call.Leave()

	attached := &attachment{
		id:       found.ID,
		output:   found.Transcript,
		exitCode: func() int { return found.Snapshot().ExitCode },
		reader:   reader,
		gone:     gone,
		broken:   broken,
		replayed: found.Transcript.End(),
	}
	var accepted uint64
	attached.writer, accepted = found.OpenInput(options.client)
	attached.accepted.Store(accepted)
	w.Header()["Content-Type"] = []string{"application/octet-stream"}
	w.WriteHeader(http.StatusOK)
	go attached.listen(r.Body)
	attached.sendOutput(w)
	return nil
}

// maxFramesAhead is how many frames of input may wait for the command while the
// host's other frames are read. A command may read nothing until its output is
// acknowledged, and that acknowledgement may come after its input.
const maxFramesAhead = 4

// listen handles the host's frames until the stream ends.
func (a *attachment) listen(body io.Reader) {
	inputs := make(chan []byte, maxFramesAhead)
	defer close(inputs)
	go a.writeAll(inputs)
	for {
		kind, payload, err := readFrame(body)
		if err != nil {
			if errors.Is(err, errFrameTooLarge) {
				log.Printf("exec %s: from the host: %v", a.id, err)
				close(a.broken)
			}
			return
		}
		switch kind {
		case frameInput, frameInputEnd:
			if kind == frameInputEnd {
				payload = nil
			} else if len(payload) == 0 {
				continue
			}
			select {
			case inputs <- payload:
			case <-a.gone:
				return
			}
		case frameTaken:
			if len(payload) == 8 {
				a.output.Acknowledge(a.reader, binary.BigEndian.Uint64(payload))
			}
		}
	}
}

// writeAll passes input on in order; nil is its end. After input that was not
// accepted, nothing more is accepted.
func (a *attachment) writeAll(inputs <-chan []byte) {
	refused := false
	for payload := range inputs {
		switch {
		case refused:
		case payload != nil:
			refused = !a.write(payload)
		case a.writer != nil:
			a.writer.End()
		}
	}
}

// write passes input on. It returns false when no more will be accepted.
func (a *attachment) write(data []byte) bool {
	if a.writer == nil {
		return true
	}
	accepted, ok := a.writer.Write(data, a.gone)
	if ok {
		a.accepted.Store(accepted)
		a.reader.Signal()
	}
	return ok
}

func (a *attachment) isGone() bool {
	select {
	case <-a.gone:
		return true
	default:
		return false
	}
}
