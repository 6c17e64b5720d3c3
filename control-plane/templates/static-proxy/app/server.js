const http = require('node:http');

const port = process.env.PORT || 3000;

http
  .createServer((request, response) => response.end(`you asked for ${request.url}\n`))
  .listen(port, () => console.log(`listening on port ${port}`));
