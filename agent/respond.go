package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"unicode/utf8"
)

// maxJSONBody bounds every JSON request, in bytes.
const maxJSONBody = 2 << 20

// refusal is an error the host is told: an HTTP status, a code of the protocol
// and a message that says what was wrong.
type refusal struct {
	status  int
	code    string
	message string
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, code, format string, values ...any) *refusal {
	return &refusal{status: status, code: code, message: fmt.Sprintf(format, values...)}
}

// sendError answers with the protocol's error body.
func sendError(w http.ResponseWriter, err error) {
	var known *refusal
	if !errors.As(err, &known) {
		log.Printf("internal error: %v", err)
		known = refuse(http.StatusInternalServerError, "internal", "%v", err)
	}
	body := append([]byte(nil), `{"error":{"code":`...)
	body = appendJSONString(body, known.code)
	body = append(body, `,"message":`...)
	body = appendJSONString(body, known.message)
	body = append(body, "}}"...)
	sendBody(w, known.status, body)
}

// sendBody answers with a finished JSON body.
func sendBody(w http.ResponseWriter, status int, body []byte) {
	header := w.Header()
	header["Content-Type"] = []string{"application/json"}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	w.Write(body)
}

// sendJSON answers 200 with value as JSON.
func sendJSON(w http.ResponseWriter, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	sendBody(w, http.StatusOK, body)
	return nil
}

// readJSON decodes a bounded request body. An empty body is an empty object.
func readJSON(w http.ResponseWriter, r *http.Request, into any) error {
	if r.ContentLength > maxJSONBody {
		return errBodyTooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxJSONBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return errBodyTooLarge()
		}
		return refuse(http.StatusBadRequest, "invalid_request", "the request body was cut off: %v", err)
	}
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return refuse(http.StatusBadRequest, "invalid_request", "the request body is not what this call takes: %v", err)
	}
	return nil
}

func errBodyTooLarge() error {
	return refuse(http.StatusRequestEntityTooLarge, "too_large", "a JSON body may have at most %d bytes", maxJSONBody)
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends text as a JSON string. Bytes that are not UTF-8
// become U+FFFD, since JSON cannot hold them.
func appendJSONString(out []byte, text string) []byte {
	out = append(out, '"')
	plain := 0
	for i := 0; i < len(text); {
		char := text[i]
		if char >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError && size == 1 {
				out = append(out, text[plain:i]...)
				out = append(out, "\uFFFD"...)
				plain = i + 1
			}
			i += size
			continue
		}
		if char >= 0x20 && char != '"' && char != '\\' {
			i++
			continue
		}
		out = append(out, text[plain:i]...)
		switch char {
		case '"', '\\':
			out = append(out, '\\', char)
		case '\n':
			out = append(out, '\\', 'n')
		case '\t':
			out = append(out, '\\', 't')
		default:
			out = append(out, '\\', 'u', '0', '0', hexDigits[char>>4], hexDigits[char&15])
		}
		i++
		plain = i
	}
	out = append(out, text[plain:]...)
	return append(out, '"')
}
