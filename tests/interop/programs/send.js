// nodemailer: host port security user password sender recipients file
const [host, port, security, user, pass, from, to, file] = process.argv.slice(2);
const nodemailer = require(process.env.NODEMAILER);

const transport = nodemailer.createTransport({
  host,
  port: Number(port),
  secure: security === "tls",
  requireTLS: security === "starttls",
  ignoreTLS: security === "",
  tls: { rejectUnauthorized: false },
  auth: user ? { user, pass } : undefined,
});
const raw = require("fs").readFileSync(file);
transport.sendMail({ envelope: { from, to: to.split(",") }, raw }).then(
  (info) => console.log(info.response),
  (error) => {
    console.error(error.response || error);
    process.exit(1);
  },
);
