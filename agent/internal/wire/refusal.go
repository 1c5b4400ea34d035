// Package wire has what all calls of the agent protocol share: bounded JSON
// requests, answers and errors.
package wire

import (
	"errors"
	"fmt"
	"log"
	"net/http"
)

// Refusal is an error for the host: an HTTP status, a code of the protocol and a
// message that says what was wrong.
type Refusal struct {
	Status  int
	Code    string
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// Refuse makes a refusal with a formatted message.
func Refuse(status int, code, format string, values ...any) *Refusal {
	return &Refusal{Status: status, Code: code, Message: fmt.Sprintf(format, values...)}
}

// Invalid refuses a request that its call does not accept: 400, invalid_request.
func Invalid(format string, values ...any) error {
	return Refuse(http.StatusBadRequest, "invalid_request", format, values...)
}

// SendError answers with the protocol's error body.
func SendError(w http.ResponseWriter, err error) {
	var known *Refusal
	if !errors.As(err, &known) {
		log.Printf("internal error: %v", err)
		known = Refuse(http.StatusInternalServerError, "internal", "%v", err)
	}
	body := append([]byte(nil), `{"error":{"code":`...)
	body = AppendString(body, known.Code)
	body = append(body, `,"message":`...)
	body = AppendString(body, known.Message)
	body = append(body, "}}"...)
	SendBody(w, known.Status, body)
}
