package main

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"time"

	"opencomputer.dev/agent/internal/wire"
)

// appendState appends the fields that ExecResult and ExecInfo share.
func appendState(out []byte, shot *snapshot) []byte {
	out = append(out, `{"id":`...)
	out = wire.AppendString(out, shot.id)
	out = append(out, `,"running":`...)
	out = strconv.AppendBool(out, shot.running)
	out = append(out, `,"exitCode":`...)
	if shot.running {
		out = append(out, "null"...)
	} else {
		out = strconv.AppendInt(out, int64(shot.exitCode), 10)
	}
	if shot.signal != 0 {
		out = append(out, `,"signal":`...)
		out = strconv.AppendInt(out, int64(shot.signal), 10)
	}
	out = append(out, `,"timedOut":`...)
	out = strconv.AppendBool(out, shot.timedOut)
	out = append(out, `,"truncated":`...)
	out = strconv.AppendBool(out, shot.truncated)
	out = append(out, `,"startedAt":"`...)
	out = shot.started.UTC().AppendFormat(out, time.RFC3339Nano)
	out = append(out, `","durationMs":`...)
	return strconv.AppendInt(out, shot.duration.Milliseconds(), 10)
}

// appendInfo appends an ExecInfo.
func appendInfo(out []byte, shot snapshot) []byte {
	out = appendState(out, &shot)
	out = append(out, `,"argv":[`...)
	for i, argument := range shot.argv {
		if i > 0 {
			out = append(out, ',')
		}
		out = wire.AppendString(out, argument)
	}
	out = append(out, `],"kind":`...)
	out = wire.AppendString(out, shot.kind)
	out = append(out, `,"stdin":`...)
	out = strconv.AppendBool(out, shot.input)
	out = append(out, `,"tty":`...)
	out = strconv.AppendBool(out, shot.terminal)
	out = append(out, `,"attached":`...)
	out = strconv.AppendInt(out, int64(shot.attached), 10)
	return append(out, '}')
}

// resultPiece is how much output is encoded at a time, so that an answer of
// many megabytes is not held twice. It is a multiple of 3: no padding inside.
const resultPiece = 192 << 10

// sendResult answers with an ExecResult.
func sendResult(w http.ResponseWriter, shot snapshot) {
	encoding := base64.StdEncoding
	first := append(appendState(nil, &shot), `,"stdout":"`...)
	const between, last = `","stderr":"`, `"}`
	size := len(first) + encoding.EncodedLen(len(shot.stdout)) + len(between) + encoding.EncodedLen(len(shot.stderr)) + len(last)
	if len(shot.stdout)+len(shot.stderr) <= resultPiece {
		body := append(make([]byte, 0, size), first...)
		body = encoding.AppendEncode(body, shot.stdout)
		body = append(body, between...)
		body = encoding.AppendEncode(body, shot.stderr)
		wire.SendBody(w, http.StatusOK, append(body, last...))
		return
	}
	header := w.Header()
	header["Content-Type"] = []string{"application/json"}
	header["Content-Length"] = []string{strconv.Itoa(size)}
	piece := first
	for i, output := range [][]byte{shot.stdout, shot.stderr} {
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
