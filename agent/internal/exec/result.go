package exec

import (
	"bufio"
	"encoding/base64"
	"net/http"
	"strconv"
	"sync"
	"time"

	"opencomputer.dev/agent/internal/session"
	"opencomputer.dev/agent/internal/transcript"
	"opencomputer.dev/agent/internal/wire"
)

// appendState appends the fields that ExecResult and ExecInfo share.
func appendState(out []byte, shot *session.Snapshot) []byte {
	out = append(out, `{"id":`...)
	out = wire.AppendString(out, shot.ID)
	out = append(out, `,"running":`...)
	out = strconv.AppendBool(out, shot.Running)
	out = append(out, `,"exitCode":`...)
	if shot.Running {
		out = append(out, "null"...)
	} else {
		out = strconv.AppendInt(out, int64(shot.ExitCode), 10)
	}
	if shot.Signal != 0 {
		out = append(out, `,"signal":`...)
		out = strconv.AppendInt(out, int64(shot.Signal), 10)
	}
	out = append(out, `,"timedOut":`...)
	out = strconv.AppendBool(out, shot.TimedOut)
	out = append(out, `,"startedAt":"`...)
	out = shot.Started.UTC().AppendFormat(out, time.RFC3339Nano)
	out = append(out, `","durationMs":`...)
	return strconv.AppendInt(out, shot.Duration.Milliseconds(), 10)
}

const resultPiece = 32 << 10

// resultBuffers are the only memory that an answer takes, even one of many
// megabytes: a piece of output, and the same piece encoded.
type resultBuffers struct {
	piece   [resultPiece]byte
	encoded *bufio.Writer
}

var resultPool = sync.Pool{New: func() any {
	return &resultBuffers{encoded: bufio.NewWriterSize(nil, resultPiece)}
}}

// sendResult answers with an ExecResult. Whether output was lost comes after the
// output, since a running command may lose some while it is being sent.
func sendResult(w http.ResponseWriter, s *session.Session) {
	shot, kept := s.Snapshot(), s.Transcript.Kept()
	buffers := resultPool.Get().(*resultBuffers)
	defer resultPool.Put(buffers)
	out := buffers.encoded
	out.Reset(w)
	defer out.Reset(nil)
	w.Header()["Content-Type"] = []string{"application/json"}
	out.Write(appendState(nil, &shot))
	for _, stream := range []struct {
		kind transcript.Stream
		name string
	}{{transcript.Stdout, `,"stdout":"`}, {transcript.Stderr, `,"stderr":"`}} {
		out.WriteString(stream.name)
		encoder := base64.NewEncoder(base64.StdEncoding, out)
		err := kept.Each(stream.kind, buffers.piece[:], func(piece []byte) error {
			_, err := encoder.Write(piece)
			return err
		})
		if err != nil {
			return // the host is gone
		}
		encoder.Close()
		out.WriteByte('"')
	}
	out.WriteString(`,"truncated":`)
	out.WriteString(strconv.FormatBool(kept.Truncated()))
	out.WriteByte('}')
	// The writer keeps its first error, which nobody needs: the host has hung up.
	_ = out.Flush()
}
