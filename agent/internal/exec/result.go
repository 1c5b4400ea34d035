package exec

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"time"

	"opencomputer.dev/agent/internal/session"
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
	out = append(out, `,"truncated":`...)
	out = strconv.AppendBool(out, shot.Truncated)
	out = append(out, `,"startedAt":"`...)
	out = shot.Started.UTC().AppendFormat(out, time.RFC3339Nano)
	out = append(out, `","durationMs":`...)
	return strconv.AppendInt(out, shot.Duration.Milliseconds(), 10)
}

// appendInfo appends an ExecInfo.
func appendInfo(out []byte, shot session.Snapshot) []byte {
	out = appendState(out, &shot)
	out = append(out, `,"argv":[`...)
	for i, argument := range shot.Argv {
		if i > 0 {
			out = append(out, ',')
		}
		out = wire.AppendString(out, argument)
	}
	out = append(out, `],"kind":`...)
	out = wire.AppendString(out, shot.Kind)
	out = append(out, `,"stdin":`...)
	out = strconv.AppendBool(out, shot.Input)
	out = append(out, `,"tty":`...)
	out = strconv.AppendBool(out, shot.Terminal)
	out = append(out, `,"attached":`...)
	out = strconv.AppendInt(out, int64(shot.Attached), 10)
	out = append(out, `,"keepAwake":`...)
	out = strconv.AppendBool(out, shot.KeepAwake)
	return append(out, '}')
}

// resultPiece is how much output is encoded at a time, so that an answer of
// many megabytes is not held twice. It is a multiple of 3: no padding inside.
const resultPiece = 192 << 10

// sendResult answers with an ExecResult.
func sendResult(w http.ResponseWriter, shot session.Snapshot) {
	encoding := base64.StdEncoding
	first := append(appendState(nil, &shot), `,"stdout":"`...)
	const between, last = `","stderr":"`, `"}`
	size := len(first) + encoding.EncodedLen(len(shot.Stdout)) + len(between) + encoding.EncodedLen(len(shot.Stderr)) + len(last)
	if len(shot.Stdout)+len(shot.Stderr) <= resultPiece {
		body := append(make([]byte, 0, size), first...)
		body = encoding.AppendEncode(body, shot.Stdout)
		body = append(body, between...)
		body = encoding.AppendEncode(body, shot.Stderr)
		wire.SendBody(w, http.StatusOK, append(body, last...))
		return
	}
	header := w.Header()
	header["Content-Type"] = []string{"application/json"}
	header["Content-Length"] = []string{strconv.Itoa(size)}
	piece := first
	for i, output := range [][]byte{shot.Stdout, shot.Stderr} {
		for len(output) > 0 {
			step := min(resultPiece, len(output))
			piece = encoding.AppendEncode(piece, output[:step])
			if _, err := w.Write(piece); err != nil {
				return // the host is gone
			}
			piece, output = piece[:0], output[step:]
		}
		if i == 0 {
			piece = append(piece, between...)
		}
	}
	w.Write(append(piece, last...))
}
