// mfh2spec PORT: every case of h2spec, strict ones too, against 127.0.0.1:PORT. Exit code 1 when one fails.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/summerwind/h2spec"
	"github.com/summerwind/h2spec/config"
)

func main() {
	port := 0
	if len(os.Args) == 2 {
		port, _ = strconv.Atoi(os.Args[1])
	}
	if port <= 0 || port > 65535 {
		fmt.Fprintln(os.Stderr, "usage: mfh2spec PORT")
		os.Exit(2)
	}
	// Timeout is what a case waits for silence to be an answer; none needs it when the server is right.
	ok, err := h2spec.Run(&config.Config{Host: "127.0.0.1", Port: port, Path: "/", Timeout: 10 * time.Second,
		MaxHeaderLen: 4000, Strict: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}
