require "socket"
require "greeting"

server = TCPServer.new("0.0.0.0", ENV.fetch("PORT", "9292").to_i)
loop do
  client = server.accept
  client.gets
  text = greeting("Ruby")
  client.print "HTTP/1.1 200 OK\r\nContent-Length: #{text.bytesize}\r\nConnection: close\r\n\r\n#{text}"
  client.close
end
