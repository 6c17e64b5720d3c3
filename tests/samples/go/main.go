package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"os"

	"example.org/greeting"
)

func main() {
	address := ":8081"
	if port := os.Getenv("PORT"); port != "" {
		address = ":" + port
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go answer(connection)
	}
}

// answer speaks as much HTTP as a greeting needs: net/http alone takes half a minute to compile.
func answer(connection net.Conn) {
	defer connection.Close()
	bufio.NewReader(connection).ReadString('\n')
	text := greeting.From("Go")
	fmt.Fprintf(connection, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
}
